/** Stands among the values of requests: no error answer and no line of the log may repeat it. It is no name of anything. */
export const LEAK = 'Leak 4711!'
/** Stands in the rows of one account: no answer to another one may show it. */
export const OURS = 'ours-4711'
export const THEIRS = 'theirs-4711'
