/**
 * JSON as the text it is: read with the place of everything, and changed in one place while all else stays byte for
 * byte, in its order and form. Files that people write by hand too are changed by it.
 */
export type JsonNode = JsonObject | JsonOther

export interface JsonObject {
  readonly kind: 'object'
  /** Of the opening brace, and behind the closing one. */
  readonly start: number
  readonly end: number
  /** As they stand: a name may come twice. */
  readonly members: readonly JsonMember[]
}

export interface JsonMember {
  readonly name: string
  /** Of the name's quote. */
  readonly start: number
  readonly value: JsonNode
}

/** An array or a plain value. */
interface JsonOther {
  readonly kind: 'other'
  readonly start: number
  readonly end: number
}

/** Where the text is no JSON, and why. `path` has the names of the members around that place. */
export class JsonFault extends Error {
  readonly position: number
  readonly path: readonly string[]

  constructor(what: string, position: number, path: readonly string[]) {
    super(what)
    this.position = position
    this.path = [...path]
  }
}

/** Deeper than any configuration, and far from what the stack takes. */
const MAX_DEPTH = 200
const LITERAL = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const ESCAPE = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y

/** Throws `JsonFault`. A byte order mark before it is allowed. */
export function parseJsonText(text: string): JsonNode {
  const parser = new Parser(text)
  const node = parser.value(0)
  parser.blanks()
  if (parser.at < text.length) parser.fail('something stands behind its end')
  return node
}

class Parser {
  readonly #text: string
  readonly #path: string[] = []
  at: number

  constructor(text: string) {
    this.#text = text
    this.at = text.startsWith('\uFEFF') ? 1 : 0
  }

  fail(what: string, at = this.at): never {
    throw new JsonFault(what, at, this.#path)
  }

  blanks(): void {
    for (; this.at < this.#text.length; this.at++) {
      const char = this.#text[this.at]
      if (char === '/') this.fail('JSON has no comments')
      if (char !== ' ' && char !== '\n' && char !== '\r' && char !== '\t') return
    }
  }

  value(depth: number): JsonNode {
    this.blanks()
    if (depth > MAX_DEPTH) this.fail('it is nested too deeply')
    const start = this.at
    const char = this.#text[start]
    if (char === '{') return this.#object(depth)
    if (char === '[') {
      this.#list(']', () => void this.value(depth + 1))
    } else if (char === '"') this.#string()
    else {
      const found = this.#match(LITERAL)
      if (found === null) this.fail(char === undefined ? 'it ends in the middle' : 'a value is missing')
      this.at += found.length
    }
    return { kind: 'other', start, end: this.at }
  }

  #object(depth: number): JsonObject {
    const start = this.at
    const members: JsonMember[] = []
    this.#list('}', () => {
      const nameStart = this.at
      if (this.#text[nameStart] !== '"') this.fail('a name in double quotes is missing')
      const name = this.#string()
      this.#path.push(name)
      this.blanks()
      if (this.#text[this.at] !== ':') this.fail('a colon is missing')
      this.at++
      const value = this.value(depth + 1)
      this.#path.pop()
      members.push({ name, start: nameStart, value })
    })
    return { kind: 'object', start, end: this.at, members }
  }

  /** From the opening bracket to behind the closing one. */
  #list(close: string, item: () => void): void {
    this.at++
    this.blanks()
    if (this.#text[this.at] !== close) {
      for (;;) {
        item()
        this.blanks()
        const char = this.#text[this.at]
        if (char === close) break
        if (char === undefined) this.fail('it ends in the middle')
        if (char !== ',') this.fail(`a comma or ${close} is missing`)
        this.at++
        this.blanks()
      }
    }
    this.at++
  }

  #string(): string {
    const start = this.at++
    for (; ; this.at++) {
      const code = this.#text.charCodeAt(this.at)
      if (Number.isNaN(code)) this.fail('a closing quote is missing', start)
      if (code < 0x20) this.fail('a text has a line end, or another control character, in it')
      if (code === 0x22) break
      if (code !== 0x5c) continue
      this.at++
      const found = this.#match(ESCAPE)
      if (found === null) this.fail('a backslash stands before something else than JSON allows')
      this.at += found.length - 1
    }
    this.at++
    return JSON.parse(this.#text.slice(start, this.at)) as string
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at
    return pattern.exec(this.#text)?.[0] ?? null
  }
}

/** The member of this name; the text has it once (`requireOnce` of whoever reads it). */
export const memberOf = (node: JsonNode | undefined, name: string): JsonMember | undefined =>
  node?.kind === 'object' ? node.members.find((member) => member.name === name) : undefined

/** The text with `value`, itself JSON, under these names; objects that are missing on the way are made. */
export function setInText(text: string, names: readonly string[], value: string): string {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  let node = parseJsonText(text)
  for (const [depth, name] of names.entries()) {
    const rest = names.slice(depth + 1)
    const member = memberOf(node, name)
    if (node.kind !== 'object') throw new JsonFault('an object is missing', node.start, names.slice(0, depth))
    if (member === undefined)
      return insert(text, node, depth, name, nest(rest, value, depth + 1, newline), newline)
    node = member.value
  }
  return text.slice(0, node.start) + value + text.slice(node.end)
}

/** The text without the member under these names; the same text where there is none. */
export function removeFromText(text: string, names: readonly string[]): string {
  let node: JsonNode | undefined = parseJsonText(text)
  for (const name of names.slice(0, -1)) node = memberOf(node, name)?.value
  if (node?.kind !== 'object') return text
  const { members } = node
  const at = members.findIndex(({ name }) => name === names.at(-1))
  const [member, before, behind] = [members[at], members[at - 1], members[at + 1]]
  if (member === undefined) return text
  if (behind !== undefined) return text.slice(0, member.start) + text.slice(behind.start)
  if (before !== undefined) return text.slice(0, before.value.end) + text.slice(member.value.end)
  return `${text.slice(0, node.start)}{}${text.slice(node.end)}`
}

const INDENT = '  '

/** As the last member, in the form of the one before it. */
function insert(
  text: string,
  node: JsonObject,
  depth: number,
  name: string,
  value: string,
  newline: string,
): string {
  const member = `${JSON.stringify(name)}: ${value}`
  const last = node.members.at(-1)
  if (last === undefined) {
    const inner = `{${newline}${INDENT.repeat(depth + 1)}${member}${newline}${INDENT.repeat(depth)}}`
    return text.slice(0, node.start) + inner + text.slice(node.end)
  }
  let from = last.start
  while (' \n\r\t'.includes(text.charAt(from - 1))) from--
  return `${text.slice(0, last.value.end)},${text.slice(from, last.start)}${member}${text.slice(last.value.end)}`
}

const nest = (names: readonly string[], value: string, depth: number, newline: string): string =>
  names.reduceRight(
    (inner, name, at) =>
      `{${newline}${INDENT.repeat(depth + at + 1)}${JSON.stringify(name)}: ${inner}${newline}${INDENT.repeat(depth + at)}}`,
    value,
  )
