package store

// Constants has the numbers of the policies by name. A store with policies in another
// language takes them from here.
var Constants = map[string]float64{
	"Counts": float64(Counts),
	"Times":  float64(Times),

	"Edge":     Edge,
	"Apart":    Apart,
	"TrimStep": TrimStep,

	"half":        half,
	"margin":      margin,
	"least":       least,
	"step":        step,
	"leak":        leak,
	"grains":      grains,
	"slack":       slack,
	"windowParts": windowParts,

	"faded":   faded,
	"ln2by32": ln2by32,
	"plus1":   plus1,
	"plus2":   plus2,
	"plus3":   plus3,

	"convertStep": convertStep,
	"formerMost":  formerMost,
	"roomy":       roomy,
	"spread":      spread,
	"steady":      steady,
}
