// Command picture turns the screen of a terminal, as `tmux capture-pane -e -p`
// prints it, into an SVG: picture COLUMNS < SCREEN > FILE. Nothing is drawn by
// hand, so that a picture shows what the programs printed.
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "picture: error: "+err.Error())
		os.Exit(1)
	}
}

const (
	cellWidth, cellHeight = 8.4, 18 // of a 14 px monospace font
	margin                = 14
)

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: picture COLUMNS")
	}
	columns, err := strconv.Atoi(args[0])
	if err != nil || columns < 1 {
		return fmt.Errorf("%q is no number of columns", args[0])
	}
	var lines []string
	for s := bufio.NewScanner(in); s.Scan(); {
		lines = append(lines, s.Text())
	}
	for len(lines) > 0 && strings.TrimSpace(plain(lines[len(lines)-1])) == "" {
		lines = lines[:len(lines)-1]
	}
	width, height := float64(columns)*cellWidth+2*margin, len(lines)*cellHeight+2*margin
	w := bufio.NewWriter(out)
	_, _ = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">`+"\n", width, height)
	_, _ = fmt.Fprintf(w, `<rect width="100%%" height="100%%" rx="8" fill="#1b1e24"/>`+"\n")
	for i, line := range lines {
		_, _ = fmt.Fprintf(w, `<text x="%d" y="%d" fill="#d8dee9" xml:space="preserve">%s</text>`+"\n", margin, margin+(i+1)*cellHeight-4, spans(line))
	}
	_, _ = fmt.Fprintln(w, "</svg>")
	return w.Flush()
}

var sgr = regexp.MustCompile(`\x1b\[([0-9;]*)m`)

func plain(line string) string { return sgr.ReplaceAllString(line, "") }

// colours are the eight of a terminal.
var colours = []string{"#4c566a", "#bf616a", "#a3be8c", "#ebcb8b", "#81a1c1", "#b48ead", "#88c0d0", "#e5e9f0"}

// spans gives each stretch of one colour a tspan of its own.
func spans(line string) string {
	var b strings.Builder
	style, from := "", 0
	flush := func(text string) {
		switch {
		case text == "":
		case style == "":
			b.WriteString(html.EscapeString(text))
		default:
			b.WriteString("<tspan" + style + ">" + html.EscapeString(text) + "</tspan>")
		}
	}
	for _, m := range sgr.FindAllStringSubmatchIndex(line, -1) {
		flush(line[from:m[0]])
		style, from = apply(style, line[m[2]:m[3]]), m[1]
	}
	flush(line[from:])
	return b.String()
}

// apply changes a style by one escape sequence: colours, bold, back to plain.
func apply(style, codes string) string {
	for code := range strings.SplitSeq(codes, ";") {
		n, err := strconv.Atoi(code)
		switch {
		case err != nil || n == 0 || n == 39:
			style = ""
		case n == 1:
			style += ` font-weight="bold"`
		case n >= 30 && n <= 37:
			style = ` fill="` + colours[n-30] + `"`
		case n >= 90 && n <= 97:
			style = ` fill="` + colours[n-90] + `"`
		}
	}
	return style
}
