/** Reads TypeScript just far enough to tell code from text: no parser, so nothing to install or keep in step. */

export interface Scan {
  /** The source with comments and the contents of strings, templates and regular expressions as spaces. */
  readonly code: string
  readonly imports: readonly Import[]
}

export interface Import {
  readonly specifier: string
  /** Counts from 1. */
  readonly line: number
}

/** Every static, type, re-exported and dynamic import with a literal specifier, and the code without text. */
export function scanSource(source: string): Scan {
  const code = blankText(source)
  const imports: Import[] = []
  for (const found of code.matchAll(/\bfrom\s*(['"])|\bimport\s*\(?\s*(['"])/g)) {
    const start = found.index + found[0].length
    const quote = source[start - 1] ?? ''
    imports.push({
      specifier: source.slice(start, source.indexOf(quote, start)),
      line: lineAt(source, start),
    })
  }
  return { code, imports }
}

export const lineAt = (source: string, index: number): number => source.slice(0, index).split('\n').length

const COMMENT_OR_STRING = /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\[^]|[^'\\\n])*'|"(?:\\[^]|[^"\\\n])*"/y
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y
/** What stands before a slash that begins a regular expression, rather than divides. */
const BEFORE_REGEX = /(?:^|[([{,;=:!&|?+\-*%<>~^}]|\b(?:return|typeof|case|in|of|await|yield|throw))\s*$/

function blankText(source: string): string {
  let out = ''
  let at = 0
  /** Depth of braces inside each open `${`; a template's text goes on where the depth returns to 0. */
  const templates: number[] = []
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0] ?? null
  }
  const blank = (text: string): void => {
    const quote = text.startsWith("'") || text.startsWith('"') ? text.charAt(0) : ''
    const inner = quote === '' ? text : text.slice(1, -1)
    out += quote + inner.replace(/[^\n]/g, ' ') + quote
    at += text.length
  }
  const takeTemplate = (): void => {
    const text = take(/(?:\\[^]|\$(?!\{)|[^`\\$])*(?:`|\$\{)?/y) ?? ''
    if (text.endsWith('${')) templates.push(0)
    blank(text)
  }
  while (at < source.length) {
    const char = source.charAt(at)
    const text = take(COMMENT_OR_STRING)
    if (text !== null) blank(text)
    else if (char === '`') {
      blank(char)
      takeTemplate()
    } else if (char === '}' && templates.at(-1) === 0) {
      templates.pop()
      blank(char)
      takeTemplate()
    } else {
      const regex = char === '/' && BEFORE_REGEX.test(out.slice(-200)) ? take(REGEX) : null
      if (regex !== null) blank(regex)
      else {
        const depth = templates.at(-1)
        if (depth !== undefined && (char === '{' || char === '}')) {
          templates[templates.length - 1] = depth + (char === '{' ? 1 : -1)
        }
        out += char
        at++
      }
    }
  }
  return out
}
