import type Database from 'better-sqlite3'

import { TidemarkError } from '../kernel/errors.ts'

/** One step of a file's schema. Steps are numbered by their place, from 1, and never change once released. */
export type Migration = string

/**
 * Brings a file to the newest level, each step in a transaction of its own, whatever the other processes do; its
 * level is `user_version`. Throws `newer_database` where the file is beyond what this program knows.
 */
export function migrate(database: Database.Database, steps: readonly Migration[]): void {
  for (;;) {
    const step = database.transaction(() => {
      const level = Number(database.pragma('user_version', { simple: true }))
      if (level > steps.length) {
        throw new TidemarkError('newer_database', undefined, {
          details: { file: database.name, level, known: steps.length },
        })
      }
      const sql = steps[level]
      if (sql === undefined) return false
      database.exec(sql)
      database.pragma(`user_version = ${level + 1}`)
      return true
    })
    if (!step.immediate()) return
  }
}
