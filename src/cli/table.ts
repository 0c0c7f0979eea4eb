import { fitText, textWidth } from './text-width.ts'

export interface Cell {
  readonly text: string
  /** Numbers stand at the right. */
  readonly right?: boolean
}

const GAP = 2
/** A column that had to be narrower says nothing any more. */
const MIN_WIDTH = 6

/**
 * Rows within so many columns of the screen: wide columns give way first, and where even narrow ones would not fit, each
 * row is a block of lines, one for each of its values.
 */
export function layTable(
  names: readonly string[],
  rows: readonly (readonly Cell[])[],
  columns: number,
  bold: (text: string) => string,
): readonly string[] {
  const natural = names.map((name, at) =>
    Math.max(1, textWidth(name), ...rows.map((row) => textWidth(row[at]?.text ?? ''))),
  )
  const widths = shrink(natural, columns - GAP * (names.length - 1))
  if (widths === null) return layBlocks(names, rows, columns, bold)
  const isRight = names.map((_, at) => rows.length > 0 && rows.every((row) => row[at]?.right !== false))
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, at) => pad(fitText(text, widths[at] ?? 0), widths[at] ?? 0, isRight[at] === true))
      .join(' '.repeat(GAP))
      .trimEnd()
  return [
    bold(line(names)),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map((row) => line(row.map(({ text }) => text))),
  ]
}

/** Null where not even narrow columns fit. */
function shrink(natural: readonly number[], room: number): readonly number[] | null {
  const least = natural.map((width) => Math.min(width, MIN_WIDTH))
  if (least.reduce((sum, width) => sum + width, 0) > room) return null
  // The widest that all those which are wider may have.
  let cap = Math.max(0, ...natural)
  const taken = (): number => natural.reduce((sum, width) => sum + Math.min(width, cap), 0)
  while (taken() > room) cap--
  // What rounding left over goes to the first that wants it.
  let spare = room - taken()
  return natural.map((width) => {
    const more = Math.min(spare, Math.max(0, width - cap))
    spare -= more
    return Math.min(width, cap) + more
  })
}

const pad = (text: string, width: number, right: boolean): string => {
  const space = ' '.repeat(Math.max(0, width - textWidth(text)))
  return right ? space + text : text + space
}

function layBlocks(
  names: readonly string[],
  rows: readonly (readonly Cell[])[],
  columns: number,
  bold: (text: string) => string,
): readonly string[] {
  const width = Math.min(Math.max(...names.map(textWidth)), Math.floor(columns / 2))
  return rows.flatMap((row, at) => [
    ...(at === 0 ? [] : ['']),
    ...names.map((name, column) => {
      const label = bold(pad(fitText(name, width), width, false))
      return `${label}  ${fitText(row[column]?.text ?? '', columns - width - GAP)}`
    }),
  ])
}
