def page(d,a,n): return ""
def size(d): return (1,1)
