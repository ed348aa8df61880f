from featlearn.api import MODELS as MODELS
from featlearn.api import check_gradients as check_gradients
from featlearn.api import classify as classify
from featlearn.api import encode as encode
from featlearn.api import evaluate as evaluate
from featlearn.api import export as export
from featlearn.api import extract_patches as extract_patches
from featlearn.api import finetune as finetune
from featlearn.api import fit as fit
from featlearn.api import info as info
from featlearn.api import load_dataset as load_dataset
from featlearn.api import load_model as load_model
from featlearn.api import reconstruct as reconstruct
from featlearn.api import report as report
from featlearn.api import sample as sample
from featlearn.api import stack as stack
from featlearn.api import sweep as sweep
from featlearn.api import train as train
from featlearn.api import visualize as visualize

__version__: str
