// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
)

// The page that a person reads: three files that never change while the process runs. Its script draws what /status says.
//
//go:embed page
var pageFiles embed.FS

// pagePolicy allows the page its own files and nothing else: no text inside it runs, wherever it came from. The picture in
// the tab is a data URL.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// page adds the page to the paths of mux.
func page(mux *http.ServeMux) {
	for path, file := range map[string]struct{ name, kind string }{
		"/{$}":       {"index.html", "text/html; charset=utf-8"},
		"/style.css": {"style.css", "text/css; charset=utf-8"},
		"/script.js": {"script.js", "text/javascript; charset=utf-8"},
	} {
		data, err := pageFiles.ReadFile("page/" + file.name)
		if err != nil {
			panic(err) // the program was built without its page
		}
		sum := sha256.Sum256(data)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", file.kind)
			h.Set("Content-Security-Policy", pagePolicy)
			h.Set("Referrer-Policy", "no-referrer")
			// A browser keeps it, and asks each time whether it is still the same.
			h.Set("Cache-Control", "no-cache")
			h.Set("ETag", tag)
			if strings.Contains(r.Header.Get("If-None-Match"), tag) {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			// A client that is gone needs no answer.
			_, _ = w.Write(data)
		})
	}
}
