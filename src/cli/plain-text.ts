import { fitText } from './text-width.ts'

/**
 * Characters that a terminal obeys instead of showing them, and those that reorder or hide what stands beside them. A
 * text that came from elsewhere could rewrite with them what a person is asked to approve.
 */
const UNSEEN =
  /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu
const ONE_LINE = /[\n\t]/g

const escape = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A text as it may be printed over several lines. */
export const showText = (text: string): string =>
  text.toWellFormed().replaceAll('\r\n', '\n').replace(UNSEEN, escape)

/** A text as it may be printed within a line. */
export const showLine = (text: string): string =>
  showText(text).replace(ONE_LINE, (char) => (char === '\n' ? '\\n' : ' '))

/** The same, in at most so many columns of a terminal. */
export const showShort = (text: string, columns: number): string => fitText(showLine(text), columns)

/** A JSON value within a line: what its texts hold is escaped too. */
export const showJson = (value: unknown): string => showLine(JSON.stringify(value) ?? '-')

/**
 * An argument of a command that a person is shown to run. The agent that asks has chosen the id of its question: a shell
 * must find nothing in it to carry out.
 */
export const showArgument = (text: string): string =>
  /^[\w.:@%+/][\w.:@%+/-]*$/.test(text) ? text : `'${showLine(text).replaceAll("'", `'\\''`)}'`
