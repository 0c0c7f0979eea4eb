import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { POSTGRES_IDS } from './binaries.ts'

const SERVERS = '/usr/lib/postgresql'

/**
 * The folder of Debian's PostgreSQL, the newest that is installed: a server for `startPostgres({ bin })`, and what
 * the package of npm lacks, such as `pg_dump`, which refuses servers that are newer than itself. Null without it.
 */
export function debianPostgres(): string | null {
  if (!existsSync(SERVERS)) return null
  const versions = readdirSync(SERVERS)
    .map(Number)
    .filter((version) => existsSync(join(SERVERS, String(version), 'bin/postgres')))
  return versions.length === 0 ? null : join(SERVERS, String(Math.max(...versions)), 'bin')
}

/** Runs one of its programs as the id of our servers, whose folders it may write to then; what it prints. */
export function runDebian(bin: string, program: string, ...options: readonly string[]): string {
  const run = spawnSync(join(bin, program), options, {
    ...POSTGRES_IDS,
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  if (run.status !== 0) throw new Error(`${program} ended with ${run.status}: ${run.stderr}`)
  return run.stdout
}
