package accounts

// What the tests see of the copy.
type Origin = origin

func (c *Copy) Read() ([]Origin, error)  { return c.read() }
func (c *Copy) Write(all []Origin) error { return c.write(all) }
func (r *Registry) Origins() []Origin    { return r.origins() }

const (
	CopyName = copyName
	KeyName  = keyName
)
