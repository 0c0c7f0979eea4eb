import { TidemarkError } from '../kernel/errors.ts'
import { transact, type Connection, type Driver, type OpenOptions } from '../stores/sqlite/driver/driver.ts'
import type { Turn } from '../stores/sqlite/store/turn.ts'

/** The library's own tables in the application's file, on a connection of their own. */
export interface Book {
  read<T>(work: (connection: Connection) => T): Promise<T>
  /** One transaction. */
  write<T>(work: (connection: Connection) => T): Promise<T>
}

/** Opens its connection with the first need. */
export function openBook({
  file,
  driver,
  turn,
  setup,
}: {
  readonly file: string
  readonly driver: Driver
  readonly turn: Turn
  readonly setup?: OpenOptions['setup']
}): Book & { close(): void } {
  let connection: Connection | null = null
  let closed = false
  const open = (): Connection => {
    // Opened again it would stay open: nobody closes it a second time.
    if (closed) throw new TidemarkError('aborted', 'The manager was closed')
    return (connection ??= driver.open(file, setup === undefined ? {} : { setup }))
  }
  return {
    async read(work) {
      await Promise.resolve()
      return work(open())
    },
    write: (work) => turn(() => transact(open(), 'immediate', () => work(open()))),
    close() {
      closed = true
      connection?.close()
    },
  }
}
