import type { ErrorCode, TidemarkError } from '../kernel/errors.ts'
import { toSyncError, TROUBLES } from './failures.ts'

/** Whether a cloud was met the last time something was asked of it. */
export interface Contact {
  /** False before the first contact. */
  readonly isConnected: boolean
  /** Why it is not connected, in the words of `toSyncError`; null while it is, and before the first contact. */
  readonly lastFailure: TidemarkError | null
  met(): void
  /** Nothing can be asked. */
  lost(failure: TidemarkError): void
  /** What a request came to, judged by its code: most refusals are answers of a cloud that was met. */
  failed(failure: TidemarkError): void
}

/** Refusals that concern all there is to ask: another version, or an address where no cloud is. */
const NO_USE: ReadonlySet<ErrorCode> = new Set(['needs_upgrade', 'not_found', 'method_not_allowed'])

export function createContact(): Contact {
  let isConnected = false
  let lastFailure: TidemarkError | null = null
  const contact: Contact = {
    get isConnected() {
      return isConnected
    },
    get lastFailure() {
      return lastFailure
    },
    met() {
      isConnected = true
      lastFailure = null
    },
    lost(failure) {
      isConnected = false
      lastFailure = toSyncError(failure)
    },
    failed(failure) {
      if (TROUBLES[failure.code] !== 'other' || NO_USE.has(failure.code)) contact.lost(failure)
      // What failed or was stopped on this side says nothing of the other.
      else if (failure.status > 0) contact.met()
    },
  }
  return contact
}
