import { transact, type Connection, type Driver } from '../stores/sqlite/driver/driver.ts'
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
}: {
  readonly file: string
  readonly driver: Driver
  readonly turn: Turn
}): Book & { close(): void } {
  let connection: Connection | null = null
  const open = (): Connection => (connection ??= driver.open(file))
  return {
    async read(work) {
      await Promise.resolve()
      return work(open())
    },
    write: (work) => turn(() => transact(open(), 'immediate', () => work(open()))),
    close: () => connection?.close(),
  }
}
