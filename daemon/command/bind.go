// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
)

// bindHelp says what to do about a listener or a socket that cannot be bound.
func bindHelp(err error) string {
	operation, _ := errors.AsType[*net.OpError](err)
	tcp := operation != nil && operation.Net == "tcp"
	switch {
	case tcp && errors.Is(err, fs.ErrPermission):
		return "choose a port above 1023 for status.listen"
	case tcp && !errors.Is(err, syscall.EADDRINUSE):
		return "status.listen is an address of this machine and a port, such as 127.0.0.1:9736"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "make the directory of status.socket, or choose another; renewd makes none"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "choose a directory that renewd may write to for status.socket"
	}
	return "choose another status.listen or status.socket, or stop or remove what is there"
}
