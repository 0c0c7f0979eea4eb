import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { Directory } from '../directory.ts'
import { openSqliteDirectory } from '../directory/sqlite.ts'
import type { Log } from '../log/log.ts'
import { openSqliteLog } from '../log/sqlite.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import type { Tls } from './fastify.ts'

/** The one file of a cloud, inside its data folder. */
export const CLOUD_FILE = 'cloud.db'
/** Only its owner may look into the folder. */
const FOLDER_MODE = 0o700

export interface Storage extends AsyncDisposable {
  readonly log: Log
  readonly directory: Directory
  /** Throws when the storage does not answer. */
  check(): Promise<void>
}

/** Opens log and directory in the data folder, which is made when it is not there. Rejects with `in_use`, `not_a_database`. */
export async function openStorage(
  data: string,
  clock: Clock,
  metrics: Metrics = silentMetrics,
): Promise<Storage> {
  mkdirSync(data, { recursive: true, mode: FOLDER_MODE })
  const file = join(data, CLOUD_FILE)
  const log = await openSqliteLog({ file, clock, metrics })
  try {
    const directory = await openSqliteDirectory({ file, clock })
    return {
      log,
      directory,
      check: () => checkStorage(log, directory),
      async [Symbol.asyncDispose]() {
        await directory[Symbol.asyncDispose]()
        await log[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await log[Symbol.asyncDispose]()
    throw error
  }
}

/** A name that no space has: to find nothing is an answer. */
const NOWHERE = '-'

async function checkStorage(log: Log, directory: Directory): Promise<void> {
  await directory.findSpace(NOWHERE, NOWHERE)
  await log.status(NOWHERE).catch((error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'space_not_found') return
    throw error
  })
}

/** Reads the TLS files. Throws `file_not_found`, and `config_invalid` when they are not a key and its certificate. */
export function readTls(files: { readonly keyFile: string; readonly certFile: string }): Tls {
  const tls = { key: readPem(files.keyFile), cert: readPem(files.certFile) }
  try {
    createSecureContext(tls)
  } catch (cause) {
    throw new TidemarkError('config_invalid', 'The TLS files are not a key and its certificate in PEM', {
      details: { ...files },
      cause,
    })
  }
  return tls
}

function readPem(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new TidemarkError('file_not_found', `The TLS file ${file} cannot be read`, {
      details: { file },
      cause,
    })
  }
}
