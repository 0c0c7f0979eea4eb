import { TidemarkError } from '../kernel/errors.ts'

/** Why the system does not let a program listen. */
const REFUSALS: { readonly [code: string]: string } = {
  EADDRINUSE: 'is taken by another program',
  EADDRNOTAVAIL: 'is no address of this machine',
  EACCES: 'is for privileged programs only',
  ENOTFOUND: 'is not known',
}

interface ListenError {
  readonly address?: string
  readonly port?: number
}

/** What the system said as `cannot_listen`; anything else as it is. */
export function toListenError(
  thrown: unknown,
  at: { readonly host: string; readonly port: number },
): unknown {
  const { code, address, port } = thrown as NodeJS.ErrnoException & ListenError
  const refusal = REFUSALS[code ?? '']
  if (refusal === undefined) return thrown
  // The system says which address: there may be two.
  const where = `${address ?? at.host}:${port ?? at.port}`
  return new TidemarkError('cannot_listen', `${where} ${refusal}`, { cause: thrown })
}
