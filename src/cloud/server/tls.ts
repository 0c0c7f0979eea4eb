import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

import { TidemarkError } from '../../kernel/errors.ts'
import type { Tls } from './fastify.ts'

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
