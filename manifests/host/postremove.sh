#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# After the files are gone. Tokens and state go with a purge alone; keys in /etc/renewd/keys are the administrator's, and so
# is what else was published.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /run/renewd /var/lib/renewd /var/log/renewd
fi
