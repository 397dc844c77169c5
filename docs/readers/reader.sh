#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# get URL FILE: sends the token in FILE, which is read anew for each request. The token stands in no argument, so that ps
# does not show it. A code other than 0: nothing was published yet; try again later, do not exit.
get() {
	token=$(cat "$2") || return # the raw format has no line end, so nothing is lost
	printf 'Authorization: Bearer %s\n' "$token" | curl --silent --show-error --fail --max-time 10 --header @- "$1"
}
