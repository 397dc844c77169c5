# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

import urllib.request


def read_token(path):
    """Read the token anew for each request: it costs microseconds, and is never old.

    FileNotFoundError: nothing was published yet. Answer "not ready" and read again at the next request; do not exit.
    """
    with open(path, encoding="ascii", newline="") as file:  # newline="": nothing is translated
        return file.read()  # and nothing is trimmed: renewd writes no line end


def get(url, path):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + read_token(path)})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()
