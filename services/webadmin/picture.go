package webadmin

import "math"

// place is where a node stands in the picture of the cluster.
type place struct{ x, y int }

// The picture's middle, and how far from it nodes stand.
const (
	pictureX, pictureY = 320, 150
	pictureA, pictureB = 210, 95
)

// circle returns the places of n nodes around an ellipse, the last on top,
// where this node stands.
func circle(n int) []place {
	places := make([]place, n)
	if n == 1 {
		places[0] = place{pictureX, pictureY}
		return places
	}
	for i := range places {
		angle := 2*math.Pi*float64(i+1)/float64(n) - math.Pi/2
		places[i] = place{
			x: pictureX + int(math.Round(pictureA*math.Cos(angle))),
			y: pictureY + int(math.Round(pictureB*math.Sin(angle))),
		}
	}
	return places
}
