package mmp

// media are the first words of the original's commands for calls and their
// media, and for what only these need.
var media = map[string]bool{
	"webbridge": true, "webbridge3": true, "turn": true, "loadbalancer": true, "trunk": true, "recorder": true,
	"streamer": true, "uploader": true, "h323_gateway": true, "sip": true, "sipedge": true, "dscp": true,
	"cac": true, "fips": true, "license": true,
}

// nearest returns the one of words that was most likely meant by w, or "".
func nearest(w string, words []string) string {
	best, least := "", 1+len(w)/5
	for _, o := range words {
		if d := distance(w, o); d <= least && (best == "" || d < least) {
			best, least = o, d
		}
	}
	return best
}

// distance is how many characters must be inserted, deleted, replaced or
// swapped with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		next := make([]int, len(y)+1)
		next[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
