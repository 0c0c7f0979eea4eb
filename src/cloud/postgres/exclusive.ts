import { createHash } from 'node:crypto'

import type pg from 'pg'

import type { Exclusive } from '../exclusive.ts'
import { toDatabaseError } from './failure.ts'
import type { Database } from './pool.ts'

/** "tide": the first half of the numbers of our session locks; the second is of the name of the work. */
const CLASS = 1_953_064_037

/**
 * Who holds the lock is silent while it works, as long as that takes; but a node whose machine is gone must not hold
 * it for the two hours that systems wait by themselves. (Sockets of the machine itself take no notice.)
 */
const SETTINGS = `
  SET idle_session_timeout = 0; SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10;
  SET tcp_keepalives_count = 3`

/** Turns between nodes: a lock of a session on a connection of its own, gone with the node however it ends. */
export function createPostgresExclusive(database: Database): Exclusive {
  return {
    async run(name, work) {
      const client = await database.connect('tidemark turns')
      const lost = new AbortController()
      client.once('end', () => lost.abort())
      try {
        if (!(await takeLock(client, name))) return false
        await work(lost.signal)
        return true
      } finally {
        // The lock goes with the connection.
        await client.end().catch(() => {})
      }
    },
  }
}

async function takeLock(client: pg.Client, name: string): Promise<boolean> {
  try {
    await client.query(SETTINGS)
    const { rows } = await client.query<{ readonly mine: boolean }>(
      'SELECT pg_try_advisory_lock($1, $2) AS mine',
      [CLASS, createHash('sha256').update(name).digest().readInt32BE(0)],
    )
    return rows[0]?.mine === true
  } catch (error) {
    throw toDatabaseError(error)
  }
}
