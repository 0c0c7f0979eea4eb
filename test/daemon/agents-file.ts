import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type Database from 'better-sqlite3'

import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { createManualClock, type ManualClock } from '../../src/testing/manual-clock.ts'

/** An agents.db in a folder of its own, as other programs write to it. */
export interface AgentsFile extends Disposable {
  readonly folder: string
  readonly file: string
  readonly clock: ManualClock
  /** The connection of another program. */
  readonly program: Database.Database
  /** One more connection, as the daemon opens it. */
  open(): Database.Database
}

export function makeAgentsFile(): AgentsFile {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-changes-'))
  const file = join(folder, 'agents.db')
  const opened: Database.Database[] = []
  const open = () => {
    const database = openAgentsDatabase(file)
    // Tests that write much do not wait for the disk.
    database.pragma('synchronous = OFF')
    opened.push(database)
    return database
  }
  return {
    folder,
    file,
    clock: createManualClock(1_000_000),
    program: open(),
    open,
    [Symbol.dispose]() {
      for (const database of opened) database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Lets the turns of the event loop go by in which the readers work. */
export async function settle(turns = 50): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
}
