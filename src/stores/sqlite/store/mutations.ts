import { constants, zstdCompressSync, zstdDecompressSync, type ZstdOptions } from 'node:zlib'

import { TidemarkError } from '../../../kernel/errors.ts'
import type { Mutation } from '../../../engine/store.ts'
import type { Connection } from '../driver/driver.ts'
import type { Meta } from './meta.ts'
import { MUTATION_TABLE } from './names.ts'

/** Rows come out no larger than at the library's own level, in three quarters of the time. */
const PACKING: ZstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 1 } }

/** The mutation in flight: its number among the meta values, its parts as compressed text. */
export class Mutations {
  readonly #connection: Connection
  readonly #meta: Meta
  /** The mutation that was saved or read last: `state` is asked for often, the texts may be megabytes. */
  #known: Mutation | null = null
  /** The same parts as they are kept. */
  #packed: readonly Uint8Array<ArrayBuffer>[] | null = null

  constructor(connection: Connection, meta: Meta) {
    this.#connection = connection
    this.#meta = meta
  }

  /** The last number used. */
  get number(): number {
    return this.#meta.get('mutation').number
  }

  get isInFlight(): boolean {
    return this.#meta.get('mutation').inFlight
  }

  /** Null when none is. */
  get inFlightNumber(): number | null {
    const { number, inFlight } = this.#meta.get('mutation')
    return inFlight ? number : null
  }

  read(): Mutation | null {
    const { number, inFlight, force } = this.#meta.get('mutation')
    if (!inFlight) return null
    if (this.#known?.number === number && this.#known.force === force) return this.#known
    const rows = this.#connection.prepare(`SELECT body FROM ${MUTATION_TABLE} ORDER BY part`).all()
    const packed = rows.map(([body]) => Uint8Array.from(body as Uint8Array))
    const parts = packed.map((body) => zstdDecompressSync(body).toString())
    this.keep({ number, force, parts }, packed)
    return this.#known
  }

  /** Null when none is in flight. */
  readPacked(): readonly Uint8Array<ArrayBuffer>[] | null {
    return this.read() === null ? null : this.#packed
  }

  /** Answers the parts as they are kept, for `keep`. */
  save(mutation: Mutation): readonly Uint8Array<ArrayBuffer>[] {
    const { number, inFlight } = this.#meta.get('mutation')
    if (inFlight) throw new TidemarkError('invariant', 'there is a mutation in flight already')
    if (mutation.number !== number + 1)
      throw new TidemarkError('invariant', 'the mutation is not the next one')
    this.#clear()
    const insert = this.#connection.prepare(`INSERT INTO ${MUTATION_TABLE} (part, body) VALUES (?, ?)`)
    const packed = mutation.parts.map((part) => zstdCompressSync(part, PACKING))
    packed.forEach((body, at) => insert.run(BigInt(at), body))
    this.#meta.set('mutation', { number: mutation.number, inFlight: true, force: mutation.force })
    return packed
  }

  /** It has been saved, and the transaction committed: there is no need to read it back. */
  keep(mutation: Mutation, packed: readonly Uint8Array<ArrayBuffer>[]): void {
    this.#known = mutation
    this.#packed = packed
  }

  /** The answer came. `returned`: the cloud never took the number, it is used again. */
  settle(number: number, returned: boolean): void {
    const mutation = this.#meta.get('mutation')
    if (!mutation.inFlight || mutation.number !== number) {
      throw new TidemarkError('invariant', 'that mutation is not in flight')
    }
    this.#clear()
    this.#meta.set('mutation', { number: returned ? number - 1 : number, inFlight: false, force: false })
  }

  /** Numbers start anew. */
  reset(): void {
    this.#clear()
    this.#meta.set('mutation', { number: 0, inFlight: false, force: false })
  }

  #clear(): void {
    this.#known = null
    this.#packed = null
    this.#connection.exec(`DELETE FROM ${MUTATION_TABLE}`)
  }
}
