// Package lookup is how checks wait for DNS, and how they do not where the answer
// is there already.
package lookup
