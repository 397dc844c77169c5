#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# After the files are there, in a new installation and in an upgrade, of .deb and of .rpm.
set -e
getent group renewd >/dev/null || groupadd --system renewd
getent passwd renewd >/dev/null ||
	useradd --system --gid renewd --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment renewd renewd
chgrp renewd /etc/renewd/keys
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart renewd.service
fi
