//go:build tools

// Package tools names what `go mod tidy` shall keep: h2spec has no go.mod of its own, so its dependencies are pinned here.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
