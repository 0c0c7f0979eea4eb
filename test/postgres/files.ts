import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import pg from 'pg'

import { POSTGRES_IDS } from './binaries.ts'

/** What belongs to the running server, not to its data. */
const NOT_DATA = ['postmaster.pid', 'postmaster.opts']

/** Copies the data of the server at `url`, or of one that does not run, into a new folder beside it. */
export async function copyData(folder: string, url: string | null): Promise<string> {
  const copy = freeName(folder)
  const data = join(folder, 'data')
  if (url === null) {
    await copyTree(data, copy)
  } else {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      // A slot, which goes with the connection, keeps the log that is written meanwhile from being used again.
      const slot = `copy_${randomBytes(8).toString('hex')}`
      await client.query('SELECT pg_create_physical_replication_slot($1, true, true)', [slot])
      await client.query(`SELECT pg_backup_start('copy', fast => true)`)
      await copyTree(data, copy)
      const stopped = await client.query<{ readonly labelfile: string }>(
        'SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)',
      )
      // The log last: with the end of the backup in it, without which the copy does not start.
      rmSync(join(copy, 'pg_wal'), { recursive: true })
      await copyTree(join(data, 'pg_wal'), join(copy, 'pg_wal'))
      writeOwned(join(copy, 'backup_label'), stopped.rows[0]?.labelfile ?? '')
    } finally {
      await client.end()
    }
  }
  for (const name of NOT_DATA) rmSync(join(copy, name), { force: true })
  return copy
}

export async function restoreData(folder: string, copy: string): Promise<void> {
  const data = join(folder, 'data')
  rmSync(data, { recursive: true })
  await copyTree(copy, data)
}

/** By the system's `cp`, as the server's own id: owners and modes stay, on which PostgreSQL insists. */
async function copyTree(from: string, to: string): Promise<void> {
  const child = spawn('cp', ['-RPp', from, to], {
    ...POSTGRES_IDS,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  // A running server takes files away while they are copied: its log tells how to do without them.
  const others = said.split('\n').filter((line) => line !== '' && !line.includes('No such file or directory'))
  if (others.length > 0 || (code !== 0 && said === '')) throw new Error(`cp ended with ${code}: ${others[0]}`)
}

function writeOwned(path: string, text: string): void {
  writeFileSync(path, text)
  chmodSync(path, 0o600)
  if (POSTGRES_IDS.uid !== undefined) chownSync(path, POSTGRES_IDS.uid, POSTGRES_IDS.gid ?? 0)
}

function freeName(folder: string): string {
  for (let number = 1; ; number++) {
    const name = join(folder, `copy-${number}`)
    if (!existsSync(name)) return name
  }
}
