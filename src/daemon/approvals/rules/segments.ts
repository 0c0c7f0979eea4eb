/**
 * What a deny or ask rule looks at: every piece of a text that some shell might carry out by itself. Generous, since a
 * piece too many costs a question; it is no parser, and what it misses is asked about as long as no rule allows it.
 */

/** Where one command ends and another may begin: operators, brackets, substitutions, lines, and both ends of quotes. */
const BREAKS = /[;&|<>(){}`"'\u2028\u2029\p{Cc}]+|\$(?=[("'{])/u
/** Left out wherever it stands: quoting that hides a word from a plain comparison, and what nobody sees. */
const HIDDEN = /["'\\]|\p{Cf}|\p{Mn}/gu
const BLANKS = /[\s\p{Cc}]+/gu
/** In front of a command without being it. */
const IN_FRONT =
  /^(?:[A-Za-z_][A-Za-z0-9_]*\+?=\S*|!|\$|if|then|elif|else|do|while|until|time|exec|command|builtin|eval|nohup|sudo|doas|env|xargs|setsid)$/

/** The text on one line, its words with one space between two. */
const squeeze = (text: string): string => text.replace(BLANKS, ' ').trim()

/** Most characters, pieces, and words in front of a command, that are looked through. */
const MAX_CHARS = 65_536
const MAX_SEGMENTS = 4_000
const MAX_IN_FRONT = 32

/** All pieces of the texts, each once; null where there is more than is looked through: then nobody can say. */
export function segmentsOf(texts: readonly string[]): ReadonlySet<string> | null {
  if (texts.reduce((sum, text) => sum + text.length, 0) > MAX_CHARS) return null
  const segments = new Set<string>()
  let isWhole = true
  const add = (piece: string): void => {
    let words = squeeze(piece)
    for (let taken = 0; words !== '' && isWhole; taken++) {
      isWhole = taken <= MAX_IN_FRONT && segments.size <= MAX_SEGMENTS
      segments.add(words)
      segments.add(withoutFolder(words))
      const end = words.indexOf(' ')
      if (end < 0 || !IN_FRONT.test(words.slice(0, end))) break
      words = words.slice(end + 1)
    }
  }
  for (const text of texts) {
    const shown = text.normalize('NFKC')
    // A backslash in front of the end of a line joins two lines.
    for (const form of new Set([text, shown, shown.replace(/\\\r?\n/g, '')])) {
      const bare = form.replace(HIDDEN, '')
      for (const seen of [form, bare]) {
        add(seen)
        for (const piece of seen.split(BREAKS)) if (piece !== '') add(piece)
      }
    }
  }
  return isWhole ? segments : null
}

/** `/usr/bin/curl x` is `curl x` too, and in zsh `=curl x`. */
function withoutFolder(words: string): string {
  const end = words.indexOf(' ')
  const program = end < 0 ? words : words.slice(0, end)
  return program.slice(program.lastIndexOf('/') + 1).replace(/^=/, '') + words.slice(program.length)
}

/** The forms in which a pattern of a rule is looked for. */
export function formsOf(pattern: string): readonly string[] {
  const shown = pattern.normalize('NFKC')
  return [...new Set([squeeze(pattern), squeeze(shown), squeeze(shown.replace(HIDDEN, ''))])].filter(
    (form) => form !== '',
  )
}
