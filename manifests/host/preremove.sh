#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# Before the files go. An upgrade (.deb: "upgrade", .rpm: 1) leaves the service running.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now renewd.service
		systemctl stop renewd-ready.service
	fi
	;;
esac
