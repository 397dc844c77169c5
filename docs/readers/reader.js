// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

const fs = require('node:fs/promises');

let kept = {mtime: -1n, ino: -1n, token: ''};

// readToken looks at the file for each request, and reads it again when it was replaced: a rename brings another inode.
// Code ENOENT: nothing was published yet. Answer "not ready" and look again at the next request; do not exit.
async function readToken(path) {
  const file = await fs.open(path);
  try {
    const {mtimeNs: mtime, ino} = await file.stat({bigint: true}); // of the file that is open, not of its successor
    if (mtime !== kept.mtime || ino !== kept.ino) {
      kept = {mtime, ino, token: await file.readFile('ascii')}; // nothing is trimmed: renewd writes no line end
    }
    return kept.token;
  } finally {
    await file.close();
  }
}

async function get(url, path) {
  const answer = await fetch(url, {
    headers: {Authorization: 'Bearer ' + await readToken(path)},
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.text();
}

module.exports = {readToken, get};
