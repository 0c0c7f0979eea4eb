import pg from 'pg'

import { findPassword, type Target } from './passwords.ts'

/** The driver's connection, which finds a password in a file by itself: the driver's own way there is to go. */
export class Session extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config)
    // Hidden like a password itself, where a connection is printed.
    if ((this.password ?? '') === '')
      Object.defineProperty(this, 'password', {
        configurable: true,
        enumerable: false,
        writable: true,
        value: (target: Target) => findPassword(target),
      })
    // A server that we cannot agree with would wait for an answer, and this process with it.
    this.connection.on('error', () => void this.connection.stream.destroy())
  }
}
