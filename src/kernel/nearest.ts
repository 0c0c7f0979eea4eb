/** The name that was probably meant; undefined where none is near. */
export function findNearest(typed: string, names: readonly string[]): string | undefined {
  const word = typed.toLowerCase()
  const [best] = names
    .map((name) => ({ name, distance: countEdits(word, name.toLowerCase()) }))
    .sort((one, other) => one.distance - other.distance)
  return best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3))
    ? best.name
    : undefined
}

/**
 * How many letters are to be put in, taken out, replaced or exchanged with their neighbour: optimal string alignment,
 * row by row.
 */
function countEdits(from: string, to: string): number {
  let [before, row]: [readonly number[], readonly number[]] = [
    [],
    Array.from({ length: to.length + 1 }, (_, i) => i),
  ]
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1]
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (isSame ? 0 : 1),
        swapped ? (before[j - 2] ?? 0) + 1 : Infinity,
      )
    }
    before = row
    row = next
  }
  return row[to.length] ?? 0
}

/** ` Did you mean x?`, or nothing. */
export function suggest(typed: string, names: readonly string[]): string {
  const nearest = findNearest(typed.slice(0, MAX_TYPED_CHARS), names)
  return nearest === undefined ? '' : ` Did you mean ${nearest}?`
}
/** No name is longer. */
const MAX_TYPED_CHARS = 64
