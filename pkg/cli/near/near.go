// Package near finds the words a user may have meant. It is a package of its own
// so that the dispatcher can use it without linking the command frame.
package near

// Words returns up to three of words that are close to s: edit distance at most
// two, or a common start of three letters.
func Words(s string, words []string) []string {
	var out []string
	for limit := 1; limit <= 3 && len(out) < 3; limit++ {
		for _, w := range words {
			d := distance(s, w)
			hit := d == limit && d <= 2 || limit == 3 && d > 2 && len(s) >= 3 && len(w) >= 3 && s[:3] == w[:3]
			if hit && len(out) < 3 {
				out = append(out, w)
			}
		}
	}
	return out
}

func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
		}
		prev, cur = cur, prev
	}
	return prev[len(b)]
}
