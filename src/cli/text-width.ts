/** How many columns of a terminal a text takes. */
export function textWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of GRAPHEMES.segment(text)) width += graphemeWidth(segment)
  return width
}

/** As much of the text as takes at most so many columns; what is left out is told by `…`. */
export function fitText(text: string, columns: number): string {
  if (text.length <= columns && textWidth(text) <= columns) return text
  let [fitting, width] = ['', 0]
  for (const { segment } of GRAPHEMES.segment(text)) {
    width += graphemeWidth(segment)
    if (width >= columns) break
    fitting += segment
  }
  return `${fitting}…`
}

const GRAPHEMES = new Intl.Segmenter('en', { granularity: 'grapheme' })
const NARROW_ONLY = /^[\p{Mn}\p{Me}\p{Cf}]+$/u
/** Emoji that are shown as such without being asked, and those that ask for it by U+FE0F. */
const EMOJI = /^\p{Emoji_Presentation}|\ufe0f/u
/** East Asian wide and full-width forms. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u

function graphemeWidth(grapheme: string): number {
  if (NARROW_ONLY.test(grapheme)) return 0
  return EMOJI.test(grapheme) || WIDE.test(grapheme) ? 2 : 1
}
