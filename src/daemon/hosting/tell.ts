import type { EngineEvent } from '../../engine/engine.ts'
import type { Logger } from '../../kernel/logger.ts'
import { describeError } from '../../machine/failures.ts'
import type { HostingEvent } from './hosted-file.ts'

/** Writes what happens to files into the log: of an error only the first in a row, and never a row. */
export function createTeller(logger: Logger): (event: HostingEvent) => void {
  const failing = new Map<string, string>()
  const engine = (file: string, event: EngineEvent): void => {
    switch (event.type) {
      case 'pushed':
        return logger.debug('Sent', { file, rows: event.rows })
      case 'applied':
        return logger.debug('Received', { file, rows: event.rows, parked: event.parked })
      case 'conflicts':
        return logger.info('There is something in the inbox', { file, count: event.count })
      case 'quarantined':
        return logger.warn('The cloud refused changes for good', { file, count: event.count })
      case 'identity':
        return logger.info('Joined the cloud anew', { file, why: event.why })
      case 'error': {
        const { code } = event.error
        if (failing.get(file) === code) return
        failing.set(file, code)
        return logger.warn('Cannot sync', { file, code, why: describeError(event.error) })
      }
      case 'synced':
        if (failing.delete(file)) logger.info('In step again', { file })
        return
      default:
        return
    }
  }
  return (event) => {
    const { file } = event
    if (event.type === 'engine') engine(file, event.event)
    else if (event.type === 'opened') logger.info('Keeping in step', { file, endpoint: event.endpoint })
    else if (event.type === 'replaced')
      logger.warn('Another file has taken its place, or none; it is opened anew', { file })
    else
      logger.warn('Cannot be synced now', { file, code: event.error.code, why: describeError(event.error) })
    if (event.type === 'opened' || event.type === 'replaced') failing.delete(file)
  }
}
