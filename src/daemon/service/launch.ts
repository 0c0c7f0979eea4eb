import { TidemarkError } from '../../kernel/errors.ts'

/** How a daemon is started: by a service manager, or by hand. */
export interface Launch {
  /** The program and its arguments. */
  readonly command: readonly string[]
  /** Variables that say where things lie; never a secret. */
  readonly env: { readonly [name: string]: string }
  /** Standard output and error of a launchd service go there. */
  readonly errors: string
}

/** Throws `bad_usage`: no form of a service has a way to write these. */
export function requirePlain(text: string): string {
  if (!/\p{Cc}/u.test(text)) return text
  throw new TidemarkError('bad_usage', 'a path of a service holds a line break or another control character')
}
