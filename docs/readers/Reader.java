// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;

final class Reader {
    private final HttpClient client = HttpClient.newHttpClient();
    private final Path path;
    private FileTime mtime;
    private String token;

    Reader(Path path) {
        this.path = path;
    }

    /**
     * Looks at the file for each request, and reads it again when it was replaced. The time is asked before the file is read:
     * if it is replaced in between, it is read once more the next time.
     *
     * @throws java.nio.file.NoSuchFileException nothing was published yet: answer "not ready" and call again at the next
     *     request; do not exit
     */
    synchronized String token() throws IOException {
        FileTime now = Files.getLastModifiedTime(path);
        if (!now.equals(mtime)) {
            token = Files.readString(path); // nothing is trimmed: renewd writes no line end
            mtime = now;
        }
        return token;
    }

    String get(URI uri) throws IOException, InterruptedException {
        var request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(10)).header("Authorization", "Bearer " + token()).build();
        var answer = client.send(request, BodyHandlers.ofString());
        if (answer.statusCode() != 200) {
            throw new IOException(uri + ": " + answer.statusCode());
        }
        return answer.body();
    }
}
