import type { Generation } from '../../../protocol/records.ts'
import { compareText } from '../text-order.ts'
import type { Statements } from './statements.ts'

/** Tables of one space by name and by number. */
export interface TableNames {
  readonly byName: ReadonlyMap<string, number>
  readonly byNumber: ReadonlyMap<number, string>
}

interface SpaceNames extends TableNames {
  readonly byName: Map<string, number>
  readonly byNumber: Map<number, string>
  /** In the order of UTF-8 bytes; null when a table came since. */
  inOrder: readonly string[] | null
  readonly generations: readonly Generation[]
}

/** Spaces that are kept in memory; the one longest in it makes room. */
const MAX_SPACES = 1_000

/**
 * Names and generations, kept in memory: only this process adds any. Forgotten whenever a transaction is undone,
 * since it may have added some.
 */
export class Names {
  readonly #statements: Statements
  readonly #spaces = new Map<number, SpaceNames>()
  #writers: { readonly byId: Map<string, number>; readonly byNumber: Map<number, string> } | null = null

  constructor(statements: Statements) {
    this.#statements = statements
  }

  forget(): void {
    this.#spaces.clear()
    this.#writers = null
  }

  tables(space: number): TableNames {
    return this.#space(space)
  }

  /** Names of tables in the order of UTF-8 bytes. */
  tablesInOrder(space: number): readonly string[] {
    const names = this.#space(space)
    return (names.inOrder ??= [...names.byName.keys()].sort(compareText))
  }

  /** The number of a table, which is made when it is not there. */
  table(space: number, name: string): number {
    const names = this.#space(space)
    const known = names.byName.get(name)
    if (known !== undefined) return known
    const no = Number(this.#statements.addTable.run(space, name).lastInsertRowid)
    names.byName.set(name, no)
    names.byNumber.set(no, name)
    names.inOrder = null
    return no
  }

  /** The oldest first. */
  generations(space: number): readonly Generation[] {
    return this.#space(space).generations
  }

  addGeneration(space: number, generation: Generation): void {
    this.#statements.addGeneration.run(space, this.generations(space).length, generation.id, generation.start)
    this.#spaces.delete(space)
  }

  #space(space: number): SpaceNames {
    const known = this.#spaces.get(space)
    if (known !== undefined) return known
    const tables = this.#statements.listTables.all(space)
    const names: SpaceNames = {
      byName: new Map(tables.map(([no, name]) => [name, no])),
      byNumber: new Map(tables.map(([no, name]) => [no, name])),
      inOrder: null,
      generations: this.#statements.listGenerations.all(space).map(([id, start]) => ({ id, start })),
    }
    const [oldest] = this.#spaces.keys()
    if (oldest !== undefined && this.#spaces.size >= MAX_SPACES) this.#spaces.delete(oldest)
    this.#spaces.set(space, names)
    return names
  }

  writer(id: string): number {
    const { byId, byNumber } = this.#readWriters()
    const known = byId.get(id)
    if (known !== undefined) return known
    const no = Number(this.#statements.addWriter.run(id).lastInsertRowid)
    byId.set(id, no)
    byNumber.set(no, id)
    return no
  }

  /** The number of a writer, 0 when it never wrote. */
  writerIfKnown(id: string): number {
    return this.#readWriters().byId.get(id) ?? 0
  }

  writersByNumber(): ReadonlyMap<number, string> {
    return this.#readWriters().byNumber
  }

  #readWriters() {
    if (this.#writers !== null) return this.#writers
    const rows = this.#statements.listWriters.all()
    this.#writers = {
      byId: new Map(rows.map(([no, id]) => [id, no])),
      byNumber: new Map(rows),
    }
    return this.#writers
  }
}
