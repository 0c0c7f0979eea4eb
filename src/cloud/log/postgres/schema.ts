import { COMMIT } from './sql/commit.ts'
import { COMMON } from './sql/common.ts'
import { HYDRATE, PULL } from './sql/read.ts'
import { SPACES } from './sql/space.ts'
import { TABLES } from './sql/tables.ts'
import { VIEW } from './sql/view.ts'

/**
 * Level 1 of the log. A function's name ends with the level that it came with: a changed one is a new one beside it,
 * so that nodes of the level before go on while others are upgraded.
 */
export const LOG_FIRST = [TABLES, COMMON, SPACES, VIEW, COMMIT, PULL, HYDRATE].join('\n')
