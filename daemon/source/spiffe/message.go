// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package spiffe

import (
	"encoding/binary"
	"errors"

	"github.com/renewd/renewd/daemon"
)

// svid is the message JWTSVID of workload.proto, as far as it is used.
type svid struct {
	id    string
	token daemon.Secret
}

// request returns the message JWTSVIDRequest: audience = 1, spiffe_id = 2.
func (c Config) request() []byte {
	var b []byte
	for _, audience := range c.Audiences {
		b = appendText(b, 1, audience)
	}
	if c.SPIFFEID != "" {
		b = appendText(b, 2, c.SPIFFEID)
	}
	return b
}

func appendText(b []byte, number byte, text string) []byte {
	b = append(b, number<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// The wire types of https://protobuf.dev/programming-guides/encoding/. Groups, 3 and 4, are in no message of workload.proto.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errMessage = errors.New("the answer is not a Protocol Buffers message")

// parseSVIDs reads the message JWTSVIDResponse: svids = 1, of JWTSVID: spiffe_id = 1, svid = 2. The error holds nothing of
// it.
func parseSVIDs(message []byte) ([]svid, error) {
	var list []svid
	err := eachField(message, func(number uint64, value []byte) error {
		if number != 1 {
			return nil
		}
		var v svid
		err := eachField(value, func(number uint64, value []byte) error {
			switch number {
			case 1:
				v.id = string(value)
			case 2:
				v.token = daemon.NewSecret(string(value))
			}
			return nil
		})
		list = append(list, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// eachField calls f for every length-delimited field. Fields of other types are skipped: those that we know are all of
// this one.
func eachField(message []byte, f func(number uint64, value []byte) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 {
			return errMessage
		}
		message = message[n:]
		var length uint64
		switch tag & 7 {
		case wireVarint:
			_, n = binary.Uvarint(message)
			if n <= 0 {
				return errMessage
			}
			length = uint64(n)
		case wireFixed64:
			length = 8
		case wireFixed32:
			length = 4
		case wireBytes:
			length, n = binary.Uvarint(message)
			if n <= 0 {
				return errMessage
			}
			message = message[n:]
		default:
			return errMessage
		}
		if length > uint64(len(message)) {
			return errMessage
		}
		if tag&7 == wireBytes {
			if err := f(tag>>3, message[:length]); err != nil {
				return err
			}
		}
		message = message[length:]
	}
	return nil
}
