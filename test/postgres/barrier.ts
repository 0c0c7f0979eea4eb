import { setTimeout as sleep } from 'node:timers/promises'

import type pg from 'pg'

const MAX_LOOKS = 5_000
const LOOK_AGAIN_MS = 2

const LOCKED = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`

/** The process that serves a connection: what a barrier waits for. */
export async function pidOf(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ readonly pid: number }>('SELECT pg_backend_pid() AS pid')
  return rows[0]?.pid ?? 0
}

/**
 * Barriers for tests of order: the next step is taken when another connection has come to a point that the server
 * itself tells of, never after a time. `admin` is a connection to the same database that nothing else uses.
 * Fulfilled once the process waits for a lock that somebody else holds: of a row, of a table, an advisory one.
 */
export async function waitsForLock(admin: pg.ClientBase, pid: number): Promise<void> {
  await look(`${pid} does not wait for a lock`, async () => (await lockedPids(admin)).includes(pid))
}

/** The same where a pool hides who it is: at least so many wait in this database. Their processes. */
export async function someWaitForLock(admin: pg.ClientBase, count = 1): Promise<readonly number[]> {
  let pids: readonly number[] = []
  await look(`there are not ${count} who wait for a lock`, async () => {
    pids = await lockedPids(admin)
    return pids.length >= count
  })
  return pids
}

/** Fulfilled once the process is gone, and with it its transaction and what it had locked. */
export async function isGone(admin: pg.ClientBase, pid: number): Promise<void> {
  await look(`${pid} lives on`, async () => {
    const { rows } = await admin.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])
    return rows.length === 0
  })
}

async function lockedPids(admin: pg.ClientBase): Promise<readonly number[]> {
  return (await admin.query<{ readonly pid: number }>(LOCKED)).rows.map(({ pid }) => pid)
}

async function look(otherwise: string, isThere: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    if (await isThere()) return
    await sleep(LOOK_AGAIN_MS)
  }
  throw new Error(`${otherwise}, after ${MAX_LOOKS} looks`)
}
