import { existsSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'

import Database from 'better-sqlite3'

import { listAttachments, readStatus, type Attachment } from '../../daemon/attachments.ts'
import { decideSync } from '../../daemon/config.ts'
import { openStoreOf } from '../../daemon/replica.ts'
import { createProvider } from '../../machine/cloud.ts'
import { ERRORS } from '../../kernel/errors.ts'
import { requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { toSystemError } from '../../machine/failures.ts'
import { countOf, formatCount } from '../progress.ts'
import { reportUpload, statusOfUpload, type UploadReport } from './upload.ts'

/** One thing that was looked at. */
export interface Finding {
  readonly level: 'ok' | 'note' | 'problem'
  readonly about: string
  readonly what: string
  /** What to do; absent where nothing is to be done. */
  readonly fix?: string
}

/** Bytes free under which a disk is called full. */
const LOW_DISK_BYTES = 200 * 1024 * 1024

/** tidemark doctor: looks at everything that can be wrong and says how to mend it. Changes nothing. */
export async function doctor(context: CliContext): Promise<boolean> {
  const findings: Finding[] = [
    { level: 'ok', about: 'program', what: `Node ${process.version}, SQLite ${sqliteVersion()}` },
    ...(await checkConnection(context)),
  ]
  const attachments = listAttachments(context.folders)
  if (attachments.length === 0)
    findings.push({
      level: 'note',
      about: 'files',
      what: 'No file is under sync.',
      fix: 'tidemark attach FILE',
    })
  for (const attachment of attachments) findings.push(...(await checkFile(context, attachment)))
  const lines = findings.map(
    ({ level, about, what, fix }) =>
      `${{ ok: 'ok     ', note: 'note   ', problem: 'PROBLEM' }[level]} ${about}: ${what}${fix === undefined ? '' : `\n        → ${fix}`}`,
  )
  const healthy = findings.every(({ level }) => level !== 'problem')
  context.output.result({ healthy, findings }, [
    ...lines,
    healthy ? 'Healthy.' : 'Something needs attention.',
  ])
  return healthy
}

function sqliteVersion(): string {
  const database = new Database(':memory:')
  try {
    return String(database.prepare('SELECT sqlite_version()').pluck().get())
  } finally {
    database.close()
  }
}

async function checkConnection(context: CliContext): Promise<readonly Finding[]> {
  const decision = decideSync(context.config)
  if (!decision.on)
    return [
      {
        level: 'note',
        about: 'sync',
        what: `off: ${decision.rule}`,
        fix: 'tidemark config set endpoint URL',
      },
    ]
  const upload = await reportUpload(context)
  if (upload !== null) return checkUpload(upload)
  const connection = requireConnection(context.config)
  try {
    const provider = await createProvider(context, connection)
    // The answer for a space that is not there is as good: address, protocol and token were in order.
    await provider.readSchema('doctor', context.signal)
    return [{ level: 'ok', about: 'cloud', what: `${connection.endpoint} answers and takes the token` }]
  } catch (thrown) {
    const error = toSystemError(thrown)
    if (error.code === 'space_not_found')
      return [{ level: 'ok', about: 'cloud', what: `${connection.endpoint} answers and takes the token` }]
    // A hint about the routes of the API is for who writes requests.
    const fix = error.code === 'not_found' ? ERRORS.bad_answer.hint : error.hint
    return [{ level: 'problem', about: 'cloud', what: error.message, fix }]
  }
}

/** Of an endpoint that only takes uploads the daemon knows more than a question from here would tell. */
function checkUpload(upload: UploadReport): readonly Finding[] {
  const { endpoint, refused } = upload
  const status = statusOfUpload(upload)
  const isBad = /^(Offline|Blocked)/.test(status)
  return [
    {
      level: isBad ? 'problem' : 'ok',
      about: 'upload',
      what: `one way to ${endpoint}: ${status}`,
      ...(isBad ? { fix: 'tidemark sync now tries at once' } : {}),
    },
    ...(upload.status === null
      ? [
          {
            level: 'note' as const,
            about: 'upload',
            what: 'nothing sends it now',
            fix: 'tidemark daemon start',
          },
        ]
      : []),
    ...(refused === 0
      ? []
      : [
          {
            level: 'note' as const,
            about: 'upload',
            what: `${countOf(refused, 'record')} refused by the endpoint and put aside`,
            fix: 'tidemark sync reset sends all again',
          },
        ]),
  ]
}

async function checkFile(context: CliContext, { file }: Attachment): Promise<readonly Finding[]> {
  if (!existsSync(file))
    return [
      {
        level: 'problem',
        about: file,
        what: 'the file is gone',
        fix: `put it back, or forget it: tidemark detach ${file}`,
      },
    ]
  const findings: Finding[] = []
  const { bavail, bsize } = statfsSync(dirname(file))
  if (bavail * bsize < LOW_DISK_BYTES)
    findings.push({ level: 'problem', about: file, what: 'the disk is almost full', fix: 'free some space' })
  try {
    await using store = await openStoreOf(context.folders, file)
    const { tables, refused } = await store.schema()
    const counts = await store.counts()
    findings.push({
      level: 'ok',
      about: file,
      what: `${countOf(tables.length, 'table')} under sync, capture in place`,
    })
    const last = readStatus(context.folders, file)
    if (last?.state === 'blocked')
      findings.push({ level: 'problem', about: file, what: `its last sync was blocked: ${last.reason}` })
    for (const { table, reason } of refused)
      findings.push({ level: 'note', about: file, what: `${table} is not synced: ${reason}` })
    const pending = Object.values(counts.pending).reduce((sum, count) => sum + count, 0)
    const open: readonly (readonly [count: number, one: string, many: string, fix: string])[] = [
      [pending, 'change waits to be sent', 'changes wait to be sent', 'tidemark sync now'],
      [counts.openConflicts, 'entry is in the inbox', 'entries are in the inbox', 'tidemark conflicts list'],
      [
        counts.quarantined,
        'change is in quarantine',
        'changes are in quarantine',
        'tidemark quarantine list',
      ],
      [
        counts.parked,
        'row of others cannot stand here (parked)',
        'rows of others cannot stand here (parked)',
        'tidemark sync status says why; they are tried again with every change',
      ],
      [
        counts.nullKeys,
        'row has NULL in the key and is not synced',
        'rows have NULL in the key and are not synced',
        'give them a key',
      ],
    ]
    for (const [count, one, many, fix] of open) {
      const what = `${formatCount(count)} ${count === 1 ? one : many}`
      if (count > 0) findings.push({ level: 'note', about: file, what, fix })
    }
  } catch (thrown) {
    const error = toSystemError(thrown)
    findings.push({ level: 'problem', about: file, what: error.message, fix: error.hint })
  }
  return findings
}
