package problem

import (
	"maps"
	"strings"

	"parley/services/phrase"
)

// germanTexts are texts in German, which the German pages of Webadmin show:
// commands, files and names of settings are as they are typed. A value with a
// "!" is said in German itself.
var germanTexts = join(germanSystem, germanFiles, germanNetwork, germanAccounts, germanConsole, germanWebadmin, germanXMPP, germanCluster, germanDatabase, germanBridge, germanDirectory)

// German has the German of each text, for a phrase.Book, whole and in its two
// halves, which are also told apart from each other; and of what services put
// into texts.
func German() map[string]string {
	all := map[string]string{}
	for _, t := range []map[string]string{germanTrust, germanTroubles, germanThings, germanLDAP} {
		maps.Copy(all, t)
	}
	for code, text := range texts {
		german := germanTexts[code]
		all[text] = german
		wrong, fix, _ := strings.Cut(text, "; ")
		falsch, abhilfe, _ := strings.Cut(german, "; ")
		for english, german := range map[string]string{wrong: falsch, fix: abhilfe} {
			if recognizable(english) {
				all[english] = german
			}
		}
	}
	return all
}

// recognizable says whether a sentence has enough words of its own to be known
// by them.
func recognizable(text string) bool {
	for _, name := range phrase.Names(text) {
		text = strings.ReplaceAll(text, "{"+name+"}", "")
	}
	return len(text) >= 10
}
