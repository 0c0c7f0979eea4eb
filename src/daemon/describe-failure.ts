import type { TidemarkError } from '../kernel/errors.ts'
import { describeError } from '../machine/failures.ts'

/** What keeps an attached file from being synced, in a sentence with what to do. */
export function describeFailure(file: string, error: TidemarkError): string {
  const hint =
    error.code === 'file_not_found'
      ? `If it was moved: tidemark attach NEW-PATH. To forget it: tidemark detach ${file}`
      : error.hint
  return `${describeError(error)}. ${hint}`
}
