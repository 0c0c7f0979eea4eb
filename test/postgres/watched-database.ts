import type { Connection, Database, Statement, Value } from '../../src/cloud/postgres/pool.ts'

export interface Sent {
  /** Of a statement that is prepared, such as `tidemark commit`; empty for others. */
  readonly name: string
  readonly values: readonly Value[]
  readonly inTransaction: boolean
}

/** What a test does around each statement of a node. What it throws, the node hears in place of an answer. */
export interface Watch {
  before?(sent: Sent): Promise<void> | void
  /** The statement was carried out; outside of a transaction it is durable. */
  after?(sent: Sent, rows: readonly object[]): Promise<void> | void
  /** Another text in place of the statement's own. */
  change?(sent: Sent): string | undefined
}

/** A database as one node sees it, and as a test can hold it at any statement. */
export function watchDatabase(database: Database, watch: Watch): Database {
  const watched = (on: Connection, inTransaction: boolean): Connection => ({
    async query<Row extends object>(statement: Statement | string, values: readonly Value[] = []) {
      const name = typeof statement === 'string' ? '' : (statement.name ?? '')
      const sent = { name, values, inTransaction }
      await watch.before?.(sent)
      const rows = await on.query<Row>(watch.change?.(sent) ?? statement, values)
      await watch.after?.(sent, rows)
      return rows
    },
  })
  return {
    query: watched(database, false).query,
    transaction: (work) => database.transaction((connection) => work(watched(connection, true))),
    connect: (name) => database.connect(name),
    usage: () => database.usage(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

/** Stops a node at the first statement of a name, until it is let go on. */
export class Gate implements Watch {
  readonly #name: string
  #state: 'waited for' | 'reached' | 'passed' = 'waited for'
  #reach = (): void => {}
  #open = (): void => {}
  /** Fulfilled when the node stands before it. */
  readonly reached = new Promise<void>((resolve) => (this.#reach = resolve))
  readonly #opened = new Promise<void>((resolve) => (this.#open = resolve))

  constructor(name: string) {
    this.#name = name
  }

  before({ name }: Sent): Promise<void> | void {
    if (name !== this.#name || this.#state !== 'waited for') return
    this.#state = 'reached'
    this.#reach()
    return this.#opened
  }

  open(): void {
    this.#state = 'passed'
    this.#open()
  }
}
