import { registerHooks } from 'node:module'

import { MUTATIONS, type Edit } from './list.ts'

const SOURCES = new URL('../../src/', import.meta.url).href

/**
 * Puts a deliberate fault into the product's sources as this thread loads them; the files stay as they are.
 * Throws when a text to replace is gone or not unique: a fault that is not there proves nothing.
 */
export function applyMutation(name: string): void {
  const mutation = MUTATIONS.find((one) => one.name === name)
  if (mutation === undefined) throw new RangeError(`there is no mutation ${name}`)
  const byFile = Map.groupBy(mutation.edits, ({ file }) => SOURCES + file)
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const edits = byFile.get(url)
      if (edits === undefined) return loaded
      const source = edits.reduce(editSource, textOf(loaded.source))
      return { ...loaded, source, shortCircuit: true }
    },
  })
}

/** `source` with one edit made. Throws when its text is not there exactly once. */
export function editSource(source: string, { file, find, put }: Edit): string {
  const parts = source.split(find)
  if (parts.length !== 2)
    throw new Error(`${file} holds this text ${parts.length - 1} times, not once: ${find}`)
  return parts.join(put)
}

function textOf(source: unknown): string {
  if (typeof source === 'string') return source
  if (source instanceof Uint8Array) return Buffer.from(source).toString('utf8')
  throw new TypeError('a source that is no text')
}
