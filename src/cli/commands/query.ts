import { canonicalPath } from '../../machine/files.ts'
import { runQuery } from '../../daemon/agents/query/query.ts'
import type { QueryPiece, QueryValue } from '../../daemon/agents/query/read.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { bytesToBase64 } from '../../kernel/base64.ts'
import { setOwn } from '../../kernel/values.ts'
import type { CliContext } from '../context.ts'
import { layTable, type Cell } from '../table.ts'
import { showLine } from '../plain-text.ts'

/** Of a value in the table; more is on no screen. */
const MAX_CELL_CHARS = 1_000
const MAX_SHOWN_BYTES = 16

/** tidemark query: one statement of SQL over the database of the agents, or another file, which it can't write to. */
export async function query(
  context: CliContext,
  sql: string,
  options: {
    readonly file?: string
    readonly limit: number
    readonly timeout: number
    readonly csv?: boolean
  },
): Promise<void> {
  const { clock, folders, output, signal } = context
  const file = canonicalPath(options.file ?? folders.agents)
  const { limit } = options
  const pieces = runQuery({ file, sql, limit }, { clock, signal, timeoutMs: options.timeout * 1_000 })
  const whole = options.csv === true && !output.json ? await printCsv(context, pieces) : await collect(pieces)
  const { columns, rows, cut, count } = whole
  if (output.json) output.result({ columns, rows: rows.map((row) => toObject(columns, row)), cut }, [])
  else if (options.csv !== true) {
    output.result(
      null,
      layTable(
        columns.map(showLine),
        rows.map((row) => row.map(toCell)),
        output.columns,
        (text) => output.bold(text),
      ),
    )
    output.say(output.dim(count === 1 ? '1 row' : `${count} rows`))
  }
  if (cut && !output.json) output.warn(`There are more than ${limit} rows; --limit N shows more.`)
}

interface Whole extends QueryPiece {
  readonly count: number
}

async function collect(pieces: AsyncIterable<QueryPiece>): Promise<Whole> {
  const rows: (readonly QueryValue[])[] = []
  let last: QueryPiece = { columns: [], rows: [], cut: false }
  for await (const piece of pieces) {
    for (const row of piece.rows) rows.push(row)
    last = piece
  }
  return { columns: uniqueNames(last.columns), rows, cut: last.cut, count: rows.length }
}

/** Piece by piece: however many rows there are, no more than a piece is kept. */
async function printCsv({ out, signal }: CliContext, pieces: AsyncIterable<QueryPiece>): Promise<Whole> {
  let count = -1
  let cut = false
  for await (const { columns, rows, cut: more } of pieces) {
    const head = count < 0 ? [columns.map(toCsv)] : []
    const text = [...head, ...rows.map((row) => row.map(toCsv))]
      .map((cells) => `${cells.join(',')}\n`)
      .join('')
    if (signal.aborted) throw new TidemarkError('aborted')
    if (out.write(text) === false && out.once !== undefined)
      await new Promise<void>((resolve) => out.once?.('drain', resolve))
    count = Math.max(0, count) + rows.length
    cut = more
  }
  return { columns: [], rows: [], cut, count }
}

/** Columns of one name would hide each other in an object. */
function uniqueNames(names: readonly string[]): readonly string[] {
  const seen = new Set<string>()
  return names.map((name) => {
    let unique = name
    for (let number = 2; seen.has(unique); number++) unique = `${name}_${number}`
    seen.add(unique)
    return unique
  })
}

function toObject(
  columns: readonly string[],
  row: readonly QueryValue[],
): { readonly [column: string]: unknown } {
  const object: { [column: string]: unknown } = {}
  for (const [at, column] of columns.entries()) setOwn(object, column, toJson(row[at] ?? null))
  return object
}

/** As it is, or where JSON can't say it exactly, with one `$` key as in all of Tidemark. */
function toJson(value: QueryValue): unknown {
  if (typeof value === 'bigint')
    return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))
      ? Number(value)
      : { $int: String(value) }
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $real: String(value) }
  return value instanceof Uint8Array ? { $bytes: bytesToBase64(value) } : value
}

function toCell(value: QueryValue): Cell {
  if (typeof value === 'bigint' || typeof value === 'number') return { text: String(value), right: true }
  if (value === null) return { text: 'NULL' }
  if (typeof value === 'string') return { text: showLine(value.slice(0, MAX_CELL_CHARS)), right: false }
  const hex = Buffer.from(value.subarray(0, MAX_SHOWN_BYTES)).toString('hex')
  return {
    text: `x'${hex}'${value.length > MAX_SHOWN_BYTES ? ` … ${value.length} bytes` : ''}`,
    right: false,
  }
}

/** NULL is nothing, an empty text is a pair of quotes; a blob is hexadecimal. */
function toCsv(value: QueryValue): string {
  if (value === null) return ''
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  const text = String(value)
  return text === '' || /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
