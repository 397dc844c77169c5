// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package node

import (
	"testing"
	"time"
)

// TestKubeletsRotationReachesTheApplication waits for the kubelet to replace a projected token of ten minutes, which it does after
// eight. The pod starts before those of the other tests, and is looked at after them.
func TestKubeletsRotationReachesTheApplication(t *testing.T) {
	ns := namespace(t)
	create(t, ns, labelled("rotated", application(tokenFile)))
	first := readings(t, ns, "rotated", 1, 90*time.Second)[0]
	t.Parallel()
	seen := readings(t, ns, "rotated", 2, 10*time.Minute)
	second := seen[1]
	if second.Claims.Issued <= first.Claims.Issued || second.Mode != "0644" {
		t.Errorf("first %+v, then %+v", first, second)
	}
	left := time.Unix(first.Claims.Expires, 0).Sub(second.Time)
	t.Logf("the application had the next token %v before the end of the first, %v after it was issued",
		left.Round(time.Second), second.Time.Sub(time.Unix(second.Claims.Issued, 0)).Round(time.Millisecond))
	if left < time.Minute {
		t.Errorf("that is late")
	}
	checkReaderRan(t, ns, "rotated")
}
