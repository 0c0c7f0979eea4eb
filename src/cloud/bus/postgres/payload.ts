/**
 * What nodes tell each other: `[node, hints]` as JSON, hints as `[space, head, writer]`; null for them means "look at
 * everything". Ids and numbers only: anybody who may connect to the database can listen.
 */
export interface Message {
  readonly node: string
  readonly hints: readonly Hint[] | null
}
export type Hint = readonly [space: string, head: number, writer: string | null]

/** PostgreSQL takes no payload of 8,000 bytes or more. Ids are ASCII, so that characters are bytes. */
const MAX_BYTES = 7_900
/** Beyond it (some 500 spaces in one go) a look at everything costs the others less than reading all of them. */
const MAX_MESSAGES = 8
/** Spaces that are kept while nothing can be told. */
const MAX_SPACES = 1_000

const ID = /^[A-Za-z0-9._-]{1,64}$/
const isId = (value: unknown): value is string => typeof value === 'string' && ID.test(value)

/** Commits that have not been told yet, one hint for each space. */
export class Untold {
  #hints = new Map<string, Hint>()
  #everything = false
  #nothing = false

  get isEmpty(): boolean {
    return this.#hints.size === 0 && !this.#everything && !this.#nothing
  }

  add(space: string, head: number, writer: string | null): void {
    if (this.#everything) return
    const before = this.#hints.get(space)
    const isOne = before === undefined || before[2] === writer
    this.#hints.set(space, [space, Math.max(head, before?.[1] ?? 0), isOne ? writer : null])
    // What whoever reads it would not take for an id must not be said.
    if (this.#hints.size > MAX_SPACES || !isId(space) || (writer !== null && !isId(writer)))
      this.addEverything()
  }

  addEverything(): void {
    this.#everything = true
    this.#hints.clear()
  }

  /** A message that tells nothing, to be heard by oneself. */
  addNothing(): void {
    this.#nothing = true
  }

  /** All of it as payloads; nothing is left. */
  take(node: string): readonly string[] {
    const hints = this.#everything ? null : [...this.#hints.values()]
    this.#hints.clear()
    this.#everything = false
    this.#nothing = false
    const texts = hints === null ? null : split(node, hints)
    return texts === null || texts.length > MAX_MESSAGES ? [JSON.stringify([node, null])] : texts
  }
}

function split(node: string, hints: readonly Hint[]): readonly string[] {
  const start = `[${JSON.stringify(node)},[`
  const payloads: string[] = []
  let text = start
  for (const hint of hints) {
    const next = JSON.stringify(hint)
    if (text !== start && text.length + next.length + 3 > MAX_BYTES) {
      payloads.push(`${text}]]`)
      text = start
    }
    text += text === start ? next : `,${next}`
  }
  return [...payloads, `${text}]]`]
}

/** Null for what no node has said: another program may speak on the channel, whatever it likes. */
export function readMessage(payload: string): Message | null {
  const value = parse(payload)
  if (!Array.isArray(value) || value.length !== 2) return null
  const [node, hints]: readonly unknown[] = value
  if (!isId(node)) return null
  if (hints === null) return { node, hints }
  return Array.isArray(hints) && hints.every(isHint) ? { node, hints } : null
}

function isHint(value: unknown): value is Hint {
  if (!Array.isArray(value) || value.length !== 3) return false
  const [space, head, writer]: readonly unknown[] = value
  return isId(space) && Number.isSafeInteger(head) && Number(head) > 0 && (writer === null || isId(writer))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
