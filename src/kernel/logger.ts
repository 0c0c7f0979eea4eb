/** Where a room may report. Details never hold row values or secrets. */
export interface Logger {
  debug(message: string, details?: LogDetails): void
  info(message: string, details?: LogDetails): void
  warn(message: string, details?: LogDetails): void
  error(message: string, details?: LogDetails): void
}

export type LogDetails = { readonly [key: string]: string | number | boolean | null | undefined }

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }
